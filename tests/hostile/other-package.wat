;; Imports an interface of another package.
(import "evil:net/socket@1.0.0" "connect" (func (param i32)))
