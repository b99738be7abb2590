"""A web page on this machine where people approve strategies and answer a society's questions.

::

    app.py              what belongs together                   review_app
    security.py         who may talk to it
    site.py             the frame of all pages
    queue.py            which strategies, in which order; which are alike
    strategy_pages.py   the queue, a strategy, edit, merge, test, history
    retest.py           a strategy tested again                 Retest, Measurement
    feedback.py         what a society gives and takes          FeedbackQueue, Question, Word
    question_pages.py   its pages
    show.py             texts, intervals, changes, events as a page shows them
    serve.py            the server, on the loopback interface   serve
"""
