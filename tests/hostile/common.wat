;; Shared by the guests of this folder: a memory, an allocator, two commands, and a reply `fine`.
;; It is appended to the text of a guest, because imports must be first in a module.
;;
;;     0 answers of host calls      512 the answer of `run`      1024 words      2048 records      16384 the heap

(memory (export "memory") 2)
(global $top (mut i32) (i32.const 16384))
(global $arguments (mut i32) (i32.const 0))

(data (i32.const 1024) "attack")
(data (i32.const 1032) "peek")
(data (i32.const 1040) "Does what it should not.")
(data (i32.const 1072) "app")
(data (i32.const 1080) "environment")
(data (i32.const 1096) "version")
(data (i32.const 1104) "word")
(data (i32.const 1112) "fine")
(data (i32.const 1120) "cms/production")
(data (i32.const 1136) "cms/staging")
(data (i32.const 1152) "1.0.2")
(data (i32.const 1160) "1.0.0")
(data (i32.const 1168) "run")

;; commands: name, aliases, summary, examples, kind, parameters
(data (i32.const 2048) (i32 1024 6  0 0  1040 24  0 0  1  2176 4))
(data (i32.const 2092) (i32 1032 4  0 0  1040 24  0 0  0  2176 0))
;; parameters: name, summary, type and whether required and named, choices
(data (i32.const 2176) (i32 1072 3   1040 24) (i8 4 0 0 0) (i32 0 0))
(data (i32.const 2204) (i32 1080 11  1040 24) (i8 5 0 0 0) (i32 0 0))
(data (i32.const 2232) (i32 1096 7   1040 24) (i8 6 0 0 0) (i32 0 0))
(data (i32.const 2260) (i32 1104 4   1040 24) (i8 0 0 1 0) (i32 0 0))
;; description: commands, settings
(data (i32.const 2304) (i32 2048 2  0 0))
;; lists of one parameter of a pipeline: version 1.0.2, version 1.0.0
(data (i32.const 2336) (i32 1096 7  1152 5))
(data (i32.const 2352) (i32 1096 7  1160 5))

(func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
  (local $at i32)
  (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
  (global.set $top (i32.add (local.get $at) (local.get $size)))
  (block $enough
    (br_if $enough (i32.le_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))))
    (drop (memory.grow (i32.add (i32.div_u (local.get $size) (i32.const 65536)) (i32.const 1)))))
  (local.get $at))

;; The answer of `run`: success with this reply.
(func $said (param $text i32) (param $length i32) (result i32)
  (i32.store8 (i32.const 512) (i32.const 0))
  (i32.store (i32.const 516) (local.get $text))
  (i32.store (i32.const 520) (local.get $length))
  (i32.store8 (i32.const 524) (i32.const 0))
  (i32.const 512))

(func $fine (result i32)
  (call $said (i32.const 1112) (i32.const 4)))

;; The answer of `run`: failure with this code and message.
(func $failed (param $reason i32) (result i32)
  (i32.store8 (i32.const 512) (i32.const 1))
  (memory.copy (i32.const 516) (local.get $reason) (i32.const 16))
  (i32.const 512))

(func (export "wardroom:plugin/commands@0.1.0#run")
  (param $job i32) (param $job_length i32) (param $command i32) (param $command_length i32)
  (param $arguments i32) (param $arguments_length i32)
  (param $id i32) (param $id_length i32) (param $name i32) (param $name_length i32) (result i32)
  (global.set $arguments (local.get $arguments))
  (if (result i32) (i32.eq (local.get $command_length) (i32.const 6))
    (then (call $attack))
    (else (call $peek))))
