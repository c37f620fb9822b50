;; Starts with more memory than `describe` may use.
(memory (export "memory") 400)
