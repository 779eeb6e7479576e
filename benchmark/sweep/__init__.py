"""Variants × recipes, and files of other tools: converted, timed, checked and evaluated.

sweep.py is the function; plan.py says what there is to do, record.py keeps what is done, jobs.py
does it in processes beside each other, commands.py says how to repeat it by hand.
"""
