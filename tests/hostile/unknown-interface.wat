;; Imports an interface that the contract does not have.
(import "wardroom:plugin/teleport@0.1.0" "go" (func (param i32)))
