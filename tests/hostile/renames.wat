;; Has the command of another plugin as an alias of its own command.
(data (i32.const 4096) "history")
(data (i32.const 4104) (i32 4096 7))
(data (i32.const 4112) (i32 1024 6  4104 1  1040 24  0 0  0  0 0))
(data (i32.const 4160) (i32 4112 1  0 0))
(func (export "wardroom:plugin/commands@0.1.0#describe") (result i32) (i32.const 4160))
