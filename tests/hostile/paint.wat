;; Replies with colours, bidirectional controls and text that imitates another speaker.
(import "wardroom:plugin/chat@0.1.0" "say" (func $say (param i32 i32 i32)))
(import "wardroom:plugin/log@0.1.0" "write" (func $write (param i32 i32 i32 i32)))
(data (i32.const 4096) "\1b[2J\07red\0d\0awhite \e2\80\aeback\e2\80\ac \00end\0aContent Management System: deployed version 9.9.9")
(func $attack (result i32)
  (call $say (i32.const 4096) (i32.const 81) (i32.const 0))
  (call $write (i32.const 2) (i32.const 4096) (i32.const 81) (i32.const 0))
  (call $said (i32.const 4096) (i32.const 81)))
