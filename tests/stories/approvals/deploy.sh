#!/bin/sh
case $1 in 9.*) sleep 2 ;; esac
