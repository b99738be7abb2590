"""The wording of the lab's prompts, on which the checkpoints are trained. Methods have templates of their own."""

SQL_PROMPT = "{schema}\nquestion: {question}\nanswer with one SQLite query."
"""`lab:sql`: the schema shows each column with its usual values (or cut-offs), then the question in house words."""

ARITHMETIC_PROMPT = "what is {expression}? put the answer in \\boxed{{}}."
"""`lab:arithmetic`."""

SUPPLEMENT_BLOCK = "{prompt}\n\n<supplement>\n{supplement}\n</supplement>\nThe supplement may be wrong."
"""How a supplement stands after the actor's prompt."""

GUIDANCE = "guidance:"
"""The line above the guidance at the end of a system message."""

GUIDANCE_BLOCK = f"{{prompt}}\n{GUIDANCE}\n{{supplement}}"
"""How a supplement stands after the system message of a dialogue."""

WRITE_SUPPLEMENT = "{prompt}\n\nWrite a supplement of the form {form} that helps another model answer."
"""How the generator is asked for a form."""

WRITE_ANY_SUPPLEMENT = "{prompt}\n\nWrite a supplement that helps another model answer."
"""How the generator is asked to choose the form itself."""

SUMMARIZE = "{prompt}\n\nThese are the answers of other agents:\n{answers}\n\nSummarize them."
"""How the summariser is asked, in a society."""

UPDATE = (
    "These are the opinions of other agents:\n{summary}\n\n"
    "Use them as advice and give an updated answer in \\boxed{{}}."
)
"""How a critic is asked, after its own previous answer."""
