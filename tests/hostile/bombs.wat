;; Grows several memories, each below the limit.
(memory $second 1)
(memory $third 1)
(func $attack (result i32)
  (local $at i32)
  (loop $more
    (local.set $at (i32.mul (memory.grow $second (i32.const 16)) (i32.const 65536)))
    (memory.fill $second (local.get $at) (i32.const 1) (i32.const 1048576))
    (local.set $at (i32.mul (memory.grow $third (i32.const 16)) (i32.const 65536)))
    (memory.fill $third (local.get $at) (i32.const 1) (i32.const 1048576))
    (br_if $more (i32.lt_u (local.get $at) (i32.const 25165824))))
  (call $fine))
