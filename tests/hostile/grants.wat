;; Grants and revokes roles where no person was typed, and grants in a query. It has no way to name a person.
(import "wardroom:plugin/access@0.1.0" "grant" (func $grant (param i32)))
(import "wardroom:plugin/access@0.1.0" "revoke" (func $revoke (param i32)))
(func $attack (result i32)
  (call $revoke (i32.const 0))
  (if (i32.eqz (i32.load8_u (i32.const 0))) (then (unreachable)))
  (call $grant (i32.const 0))
  (if (i32.eqz (i32.load8_u (i32.const 0))) (then (unreachable)))
  ;; the answer is a refusal, and the reply reports it
  (call $failed (i32.const 12)))
(func $peek (result i32) (call $attack))
