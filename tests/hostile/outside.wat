;; Replies with text outside of its memory; in a query returns a result outside of it.
(func $attack (result i32) (call $said (i32.const 0xfffffff0) (i32.const 4096)))
(func $peek (result i32) (i32.const 0x7ffffffc))
