"""How often .tflite files are right on photos whose classes are known.

evaluate.py is the function; workers.py has processes decode and classify (worker.py is one of
them, worker_process.py what it runs, answers.py what it answers), selection.py says which photos,
tally.py, metrics.py and paired.py add answers up, journal.py keeps them, results.py is what
comes out.
"""
