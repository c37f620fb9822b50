;; Describes no command.
(data (i32.const 4160) (i32 0 0  0 0))
(func (export "wardroom:plugin/commands@0.1.0#describe") (result i32) (i32.const 4160))
