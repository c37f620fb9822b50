;; A component that is not a plugin.
(component)
