;; Replies with 50 MB.
(func $attack (result i32)
  (drop (memory.grow (i32.const 900)))
  (memory.fill (i32.const 131072) (i32.const 97) (i32.const 50000000))
  (call $said (i32.const 131072) (i32.const 50000000)))
(func $peek (result i32) (call $attack))
