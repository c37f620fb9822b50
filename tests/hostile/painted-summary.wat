;; Describes its command with colours and line breaks.
(data (i32.const 4096) "\1b[2Jred\0anothing\0dmore \e2\80\aeback")
(data (i32.const 4136) (i32 1024 6  0 0  4096 28  0 0  0  0 0))
(data (i32.const 4192) (i32 4136 1  0 0))
(func (export "wardroom:plugin/commands@0.1.0#describe") (result i32) (i32.const 4192))
