;; Loops before anybody asked it anything.
(func $begin (loop $again (br $again)))
(start $begin)
