"""Until all rooms import from results."""

from art_snn.app.results import (
    BATCH as BATCH,
    PREDICTED as PREDICTED,
    SCHEMA as SCHEMA,
    Measured as Measured,
    Positive as Positive,
    as_json as as_json,
    bit_string as bit_string,
    booleans as booleans,
    converter as converter,
    earlier as earlier,
    expect as expect,
    fingerprint as fingerprint,
    read_result as read_result,
    structured as structured,
    write_result as write_result,
)
