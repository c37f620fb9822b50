;; Sends 20 MB at once; in a query the same in small pieces.
(import "wardroom:plugin/chat@0.1.0" "say" (func $say (param i32 i32 i32)))
(func $attack (result i32)
  (drop (memory.grow (i32.const 400)))
  (memory.fill (i32.const 131072) (i32.const 97) (i32.const 20000000))
  (call $say (i32.const 131072) (i32.const 20000000) (i32.const 0))
  (call $fine))
(func $peek (result i32)
  (drop (memory.grow (i32.const 4)))
  (memory.fill (i32.const 131072) (i32.const 97) (i32.const 200000))
  (loop $again
    (call $say (i32.const 131072) (i32.const 200000) (i32.const 0))
    (br $again))
  (unreachable))
