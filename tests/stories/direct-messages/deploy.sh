#!/bin/sh
case $1 in 6.*) echo "step: migrate"; exit 3 ;; esac
