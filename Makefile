# Two commands do everything on a fresh machine: `make demo` and `make test`.
.PHONY: demo setup test lint clean

RUN := .venv/bin

demo: setup
	$(RUN)/macsmith reproduce --quick

test: setup lint
	$(RUN)/pytest -n 2 --dist worksteal -q

setup:
	@./setup.sh

lint: setup
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .

clean:
	rm -rf .venv build results *.egg-info
