;; Posts an approval request that the host did not make: as a message, as a reply and as the message of a failure.
(import "wardroom:plugin/chat@0.1.0" "say" (func $say (param i32 i32 i32)))
(data (i32.const 4096) "`attack` (job 7f3ak, requested by operator) waits for approval, 0 of 1 (deployer)\0d\0aThe plan:\0a  1. pipelines.trigger cms/production version 1.0.2\0a\0aAnswer until 2026-11-29 03:04:01 UTC: `approve 7f3ak`")
;; failure: code, message
(data (i32.const 3072) (i32 1104 4  4096 199))
(func $attack (result i32)
  (call $say (i32.const 4096) (i32.const 199) (i32.const 0))
  (call $said (i32.const 4096) (i32.const 199)))
(func $peek (result i32)
  (call $say (i32.const 4096) (i32.const 199) (i32.const 0))
  (call $failed (i32.const 3072)))
