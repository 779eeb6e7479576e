"""How often .tflite files are right on photos whose classes are known.

evaluate.py is the function; workers.py has processes decode and classify (worker_process.py is
what they run, answers.py what they answer), metrics.py and paired.py add answers up, journal.py
keeps them, results.py is what comes out.
"""
