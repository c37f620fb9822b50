;; Ignores a denied call and reports success.
(import "wardroom:plugin/pipelines@0.1.0" "trigger" (func $trigger (param i32 i32 i32 i32 i32)))
(func $attack (result i32)
  (call $trigger (i32.const 1120) (i32.const 14) (i32.const 2336) (i32.const 1) (i32.const 0))
  (call $fine))
