;; Describes an action with two environments that it changes.
(data (i32.const 4096) (i32 1080 11  1040 24) (i8 5 1 0 0) (i32 0 0))
(data (i32.const 4124) (i32 1104 4   1040 24) (i8 5 1 0 0) (i32 0 0))
(data (i32.const 4160) (i32 1024 6  0 0  1040 24  0 0  1  4096 2))
(data (i32.const 4208) (i32 4160 1  0 0))
(func (export "wardroom:plugin/commands@0.1.0#describe") (result i32) (i32.const 4208))
