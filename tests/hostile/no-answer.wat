;; Answers with something that is neither done nor failed; peeks with an answer at an odd place.
(func $attack (result i32)
  (i32.store8 (i32.const 512) (i32.const 7))
  (i32.const 512))
(func $peek (result i32) (i32.const 513))
