;; Grants and takes rights where nobody typed a person; peeks by granting. It has no way to name anybody.
(import "wardroom:plugin/access@0.1.0" "grant" (func $grant (param i32)))
(import "wardroom:plugin/access@0.1.0" "revoke" (func $revoke (param i32)))
(func $attack (result i32)
  (call $revoke (i32.const 0))
  (if (i32.eqz (i32.load8_u (i32.const 0))) (then (unreachable)))
  (call $grant (i32.const 0))
  (if (i32.eqz (i32.load8_u (i32.const 0))) (then (unreachable)))
  ;; refused, says the answer; that is what it says of itself
  (call $failed (i32.const 12)))
(func $peek (result i32) (call $attack))
