;; Answers with words that stand outside of its memory; peeks with an answer that does.
(func $attack (result i32) (call $said (i32.const 0xfffffff0) (i32.const 4096)))
(func $peek (result i32) (i32.const 0x7ffffffc))
