(defpackage :queens
  (:use :common-lisp)
  (:export #:solve))

(in-package :queens)

(defparameter *size* 8 "Width of the board.")

(defun safe-p (column queens)
  (loop for other in queens
        for distance from 1
        never (or (= column other)
                  (= (abs (- column other)) distance))))

(defun solve (&optional (n *size*) queens)
  (if (= (length queens) n)
      (list (reverse queens))
      (loop for column below n
            when (safe-p column queens)
              append (solve n (cons column queens)))))

(defmacro with-board ((var n) &body body)
  `(let ((,var (solve ,n)))
     ,@body))

(with-board (boards 6)
  (format t "~a solutions~%" (length boards)))
