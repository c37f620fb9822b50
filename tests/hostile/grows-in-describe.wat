;; Grows its memory in `describe`.
(func (export "wardroom:plugin/commands@0.1.0#describe") (result i32)
  (loop $again (drop (memory.grow (i32.const 16))) (br $again))
  (unreachable))
