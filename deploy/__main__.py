"""`python -m runfold.deploy` is the `runfold` command."""

from runfold.deploy.main import main

if __name__ == "__main__":
    main()
