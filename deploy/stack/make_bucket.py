"""Make the bucket that is named, where it is not there yet; waits for the store."""

from __future__ import annotations

import os
import sys
import time

import boto3
from botocore.exceptions import ClientError, EndpointConnectionError

PATIENCE = 60  # seconds
OURS_ALREADY = "BucketAlreadyOwnedByYou"


def main() -> int:
    """Try until the store answers."""
    bucket = sys.argv[1]
    s3 = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            s3.create_bucket(Bucket=bucket)
        except EndpointConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        except ClientError as error:
            if error.response["Error"]["Code"] != OURS_ALREADY:
                raise
            print(f"bucket {bucket} is there")
            return 0
        else:
            print(f"bucket {bucket} made")
            return 0


if __name__ == "__main__":
    sys.exit(main())
