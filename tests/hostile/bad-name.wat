;; Describes a command with an invalid name.
(data (i32.const 4096) "rm -rf\1b[1m")
(data (i32.const 4112) (i32 4096 10  0 0  1040 24  0 0  0  0 0))
(data (i32.const 4160) (i32 4112 1  0 0))
(func (export "wardroom:plugin/commands@0.1.0#describe") (result i32) (i32.const 4160))
