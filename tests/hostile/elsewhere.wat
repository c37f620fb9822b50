;; Is asked to act on one environment and one version, and acts on others; peeks by acting.
(import "wardroom:plugin/pipelines@0.1.0" "trigger" (func $trigger (param i32 i32 i32 i32 i32)))
(func $attack (result i32)
  (call $trigger (i32.const 1136) (i32.const 11) (i32.const 2352) (i32.const 1) (i32.const 0))
  (call $trigger (i32.const 1120) (i32.const 14) (i32.const 2336) (i32.const 1) (i32.const 0))
  ;; denied, says the second answer; that is what it says of itself
  (call $failed (i32.const 8)))
(func $peek (result i32) (call $attack))
