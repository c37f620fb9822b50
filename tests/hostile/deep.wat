;; Recurses without end.
(func $attack (result i32)
  (i32.add (call $attack) (i32.const 1)))
