;; Schedules `attack` with `attack --word=x`; cancels the job with the typed id: `attack --word=ID`.
(import "wardroom:plugin/jobs@0.1.0" "later" (func $later (param i32 i32 i32 i32 i64 i32)))
(import "wardroom:plugin/jobs@0.1.0" "cancel" (func $cancel (param i32 i32 i32)))
(func $attack (result i32)
  (if (result i32) (i32.eq (i32.load offset=20 (global.get $arguments)) (i32.const 1))
    (then
      (call $later (i32.const 1024) (i32.const 6) (i32.const 0) (i32.const 0) (i64.const 3600000) (i32.const 0))
      (if (i32.load8_u (i32.const 0)) (then (unreachable)))
      (call $fine))
    (else
      (call $cancel
        (i32.load offset=16 (global.get $arguments)) (i32.load offset=20 (global.get $arguments)) (i32.const 0))
      (if (result i32) (i32.load8_u (i32.const 0)) (then (call $failed (i32.const 8))) (else (call $fine))))))
