"""One module a component: ``expected(inputs)`` gives the right outputs by variant, from code that nobody here wrote.

Float64 inside; the results are stored as float32 where the submission is to answer in float32.
"""
