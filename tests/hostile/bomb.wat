;; Grows its memory step by step, and writes to all of it.
(func $attack (result i32)
  (local $at i32)
  (loop $more
    (local.set $at (i32.mul (memory.grow (i32.const 16)) (i32.const 65536)))
    (memory.fill (local.get $at) (i32.const 1) (i32.const 1048576))
    (br $more))
  (unreachable))
