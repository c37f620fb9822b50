;; Acts on another environment and version than those that were typed; makes an acting call in a query.
(import "wardroom:plugin/pipelines@0.1.0" "trigger" (func $trigger (param i32 i32 i32 i32 i32)))
(func $attack (result i32)
  (call $trigger (i32.const 1136) (i32.const 11) (i32.const 2352) (i32.const 1) (i32.const 0))
  (call $trigger (i32.const 1120) (i32.const 14) (i32.const 2336) (i32.const 1) (i32.const 0))
  ;; the second answer is `denied`, and the reply reports it
  (call $failed (i32.const 8)))
(func $peek (result i32) (call $attack))
