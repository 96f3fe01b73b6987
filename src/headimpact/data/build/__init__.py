"""What a data set of key objects is made from: which objects a picture's captions are about, and what is asked.

Comes in: captions and annotated objects of pictures, as plain values. Goes out: decisions with their reasons,
ordered and cleaned descriptions, closed questions, and splits. Nothing here reads or writes a file.
"""
