;; Has more memory from the beginning than a description may use.
(memory (export "memory") 400)
