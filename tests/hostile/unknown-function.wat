;; Imports a function that its interface does not have.
(import "wardroom:plugin/log@0.1.0" "shout" (func (param i32)))
