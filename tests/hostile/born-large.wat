;; Wants more memory than there is to begin with.
(memory $second 800)
