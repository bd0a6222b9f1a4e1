"""Whether an S3 server has conditional writes, without which two runs can overwrite each other's commits."""

import re
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

from pivot_udfs.errors import StoreError
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import reason
from pivot_udfs.storage.store_credentials import delta_options

_REFUSED = re.compile(r"not.?implemented|not.?supported", re.IGNORECASE)


def check_conditional_put(warehouse: Location) -> str | None:
    """Creates a small object twice, through the library of delta-rs; raises StoreError where the second is not refused.

    Other stores always have such writes. Returns a message where the object cannot be written at all.
    """
    if warehouse.scheme != "s3":
        return None
    import obstore
    from obstore.exceptions import AlreadyExistsError, BaseError
    from obstore.store import S3Store

    http = "AWS_ALLOW_HTTP" in delta_options(warehouse.uri)
    store = S3Store(
        warehouse.authority,
        prefix=warehouse.key,
        client_options={"allow_http": http, "timeout": timedelta(seconds=30)},
        retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
    )
    name = f"_probe-{uuid4()}"
    try:
        obstore.put(store, name, b"1", mode="create")
        obstore.put(store, name, b"2", mode="create")
        why = "it overwrites an object that a request allows only to create"
    except AlreadyExistsError:
        return None
    except (BaseError, OSError, NotImplementedError) as error:
        why = reason(error)
        if not _REFUSED.search(str(error)):
            return (
                f"it is not known whether the store of {warehouse} has conditional writes ({why}): delta-rs cannot "
                "write there either; see docs/stores.md for its settings"
            )
    finally:
        with suppress(BaseError, OSError):
            obstore.delete(store, name)
    raise StoreError(
        f"the store of {warehouse} has no conditional writes ({why}), so that two runs could overwrite each other's "
        "commits: use a server that has them (docs/stores.md)"
    )
