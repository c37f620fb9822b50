;; Returns a result that is neither success nor failure; in a query returns a result at an unaligned address.
(func $attack (result i32)
  (i32.store8 (i32.const 512) (i32.const 7))
  (i32.const 512))
(func $peek (result i32) (i32.const 513))
