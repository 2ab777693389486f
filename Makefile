# Two commands do everything on a fresh machine: `make demo` and `make test`.
.PHONY: demo setup test lint prove mutants clean

RUN := .venv/bin

demo: setup
	$(RUN)/macsmith reproduce --quick

test: setup lint
	$(RUN)/pytest -n 2 --dist worksteal -q -rs
	@if ./setup.sh lm-eval; then .venv-lm-eval/bin/python -m pytest -m lm_eval -n 2 -q -rs; \
	else echo "test: lm_eval cannot be installed here: its tests were not run" >&2; fi

setup:
	@./setup.sh

lint: setup
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .

# Every style against the plain one, in all states; see `macsmith prove --help`.
prove: setup
	$(RUN)/macsmith prove --all

# Faults in RTL and in mapped netlists, none of which the benches may miss: `macsmith mutants --help`.
mutants: setup
	$(RUN)/macsmith mutants

clean:
	rm -rf .venv .venv-lm-eval build results *.egg-info
