;; Imports something of somebody else's.
(import "evil:net/socket@1.0.0" "connect" (func (param i32)))
