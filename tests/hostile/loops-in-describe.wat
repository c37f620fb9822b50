;; Loops without end in `describe`.
(func (export "wardroom:plugin/commands@0.1.0#describe") (result i32)
  (loop $again (br $again))
  (unreachable))
