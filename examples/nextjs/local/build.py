"""`make test-next` and `make example` build the app by this."""

from examples.nextjs.local.stack import build_app

if __name__ == "__main__":
    build_app()
