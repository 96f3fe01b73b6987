"""What a data set of key objects is made from: which objects a picture's captions are about, and what is asked.

The rules (`key_objects`, `mentions`, `descriptions`, `questions`, `stratified_splits`) take captions and annotated
objects as plain values and give decisions with their reasons, ordered and cleaned descriptions, closed questions, and
splits; they read and write nothing. Around them: `coco_pictures` and `picture_builder` make one picture, `parts` many
in processes, `tables` writes the files of a folder, `statistics` counts what is in it, `dropping` takes pictures out.
"""
