"""Libraries for the tests of `hw`: a tiny one written here, and those found on the machine."""

import pytest

from macsmith.hw import pdk
from macsmith.hw.liberty import Library, load
from macsmith.hw.netlist import CONST0, CONST1, Instance, Netlist, Port

needs_osu018 = pytest.mark.skipif(
    "osu018" not in {found.name for found in pdk.available()},
    reason="qflow-tech-osu018, which set-up installs, is not here",
)


def library(name: str) -> Library:
    """The library called `name`; skips the test, saying so, where it is not installed."""
    if name not in {here.name for here in pdk.available()}:
        pytest.skip(f"the library {name} is not installed: see `macsmith doctor`")
    found = pdk.find(name)
    return found.load()


def _table(kind: str, rows: str, template: str = "two") -> str:
    return f"{kind} ({template}) {{ values ({rows}); }}"


def _delays(rise: str, fall: str, rise_slew: str, fall_slew: str) -> str:
    tables = zip(
        ("cell_rise", "cell_fall", "rise_transition", "fall_transition"),
        (rise, fall, rise_slew, fall_slew),
        strict=True,
    )
    return "\n".join(_table(kind, rows) for kind, rows in tables)


#: Odd units on purpose: 10 ps, 2 fF, 1 uW, 2 V supply; so the energy unit is 2 fJ. Tables are on
#: slews of 1 and 3 (10 and 30 ps) and loads of 1 and 5 (2 and 10 fF); NAND2 has load first.
TINY = f"""
/* a library {{ for tests */
library (tiny) {{
  delay_model : table_lookup; // braces in a comment: }}}}
  comment : "braces in a string: }}}} /* and no comment */";
  time_unit : "10ps"; voltage_unit : "1V"; leakage_power_unit : "1uW";
  capacitive_load_unit (2, ff);
  nom_voltage : 2.0;
  input_threshold_pct_rise : 50; input_threshold_pct_fall : 50;
  output_threshold_pct_rise : 50; output_threshold_pct_fall : 50;
  slew_lower_threshold_pct_rise : 20; slew_lower_threshold_pct_fall : 20;
  slew_upper_threshold_pct_rise : 80; slew_upper_threshold_pct_fall : 80;
  lu_table_template (two) {{
    variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1 ("1, 3"); index_2 ("1, 5");
  }}
  lu_table_template (load_first) {{
    variable_1 : total_output_net_capacitance; variable_2 : input_net_transition;
    index_1 ("1, 5"); index_2 ("1, 3");
  }}
  lu_table_template (check) {{
    variable_1 : related_pin_transition; variable_2 : constrained_pin_transition;
    index_1 ("1, 3"); index_2 ("1, 3");
  }}
  power_lut_template (energy) {{
    variable_1 : input_transition_time; variable_2 : total_output_net_capacitance;
    index_1 ("1, 3"); index_2 ("1, 5");
  }}
  power_lut_template (hidden) {{ variable_1 : input_transition_time; index_1 ("1, 3"); }}
  cell (INV) {{
    area : 2; cell_leakage_power : 0.003;
    pin (A) {{ direction : input;
      capacitance : 1; rise_capacitance : 1.1; fall_capacitance : 0.9; }}
    pin (Y) {{ direction : output; function : "!A";
      timing () {{ related_pin : "A"; timing_sense : negative_unate;
        {_delays('"1, 3", "2, 6"', '"1, 2", "1, 4"', '"2, 4", "2, 4"', '"1, 3", "2, 4"')} }}
      internal_power () {{ related_pin : "A";
        {_table("rise_power", '"0.1, 0.5", "0.3, 0.7"', "energy")}
        {_table("fall_power", '"0.2, 0.2", "0.4, 0.4"', "energy")} }}
    }}
  }}
  cell (NAND2) {{
    area : 3;
    pg_pin (VDD) {{ pg_type : primary_power; }} pg_pin (VSS) {{ pg_type : primary_ground; }}
    leakage_power () {{ value : 0.002; when : "A*B"; related_pg_pin : VDD; }}
    leakage_power () {{ value : 0.004; when : "!(A B)"; related_pg_pin : VDD; }}
    leakage_power () {{ value : 9; related_pg_pin : VSS; }}
    leakage_power () {{ value : 5; related_pg_pin : VDD; }}
    pin (A) {{ direction : input; capacitance : 1;
      internal_power () {{ when : "!B"; related_pg_pin : VDD;
        {_table("rise_power", '"0.01, 0.03"', "hidden")}
        {_table("fall_power", '"0.02, 0.02"', "hidden")} }}
      internal_power () {{ when : "!B"; related_pg_pin : VSS;
        {_table("rise_power", '"7, 7"', "hidden")} }}
    }}
    pin (B) {{ direction : input; capacitance : 2; }}
    pin (Y) {{ direction : output; function : "(A B)'";
      timing () {{ related_pin : "A B";
        {
    _delays('"1, 2", "5, 6"', '"1, 1", "1, 1"', '"1, 1", "1, 1"', '"1, 1", "1, 1"').replace(
        "(two)", "(load_first)"
    )
} }}
      internal_power () {{ related_pin : "A";
        rise_power (scalar) {{ values ("0.6"); }} fall_power (scalar) {{ values ("0.4"); }} }}
      internal_power () {{ related_pin : "B";
        rise_power (scalar) {{ values ("0.8"); }} fall_power (scalar) {{ values ("0.2"); }} }}
    }}
  }}
  cell (NOR2) {{
    area : 4; cell_leakage_power : 0.004;
    pin (A) {{ direction : input; capacitance : 1; }}
    pin (B) {{ direction : input; capacitance : 1; }}
    pin (Y) {{ direction : output; function : "!(A + B)";
      timing () {{ related_pin : "A B"; timing_sense : negative_unate;
        {_delays('"2, 4", "3, 7"', '"1, 2", "1, 4"', '"2, 4", "2, 4"', '"1, 3", "2, 4"')} }}
    }}
  }}
  cell (DFF) {{
    area : 8; cell_leakage_power : 0.01;
    ff (IQ, IQN) {{ clocked_on : "CK"; next_state : "!D"; }}
    pin (CK) {{ direction : input; clock : true; capacitance : 1;
      internal_power () {{
        {_table("rise_power", '"0.10, 0.30"', "hidden")}
        {_table("fall_power", '"0.05, 0.15"', "hidden")} }}
    }}
    pin (D) {{ direction : input; capacitance : 1;
      timing () {{ related_pin : "CK"; timing_type : setup_rising;
        {_table("rise_constraint", '"1, 2", "3, 4"', "check")}
        {_table("fall_constraint", '"2, 2", "2, 2"', "check")} }}
    }}
    pin (QN) {{ direction : output; function : "IQ";
      timing () {{ related_pin : "CK"; timing_type : rising_edge; timing_sense : non_unate;
        {_delays('"4, 8", "6, 10"', '"4, 8", "6, 10"', '"1, 3", "1, 3"', '"1, 3", "1, 3"')} }}
      internal_power () {{ related_pin : "CK";
        {_table("rise_power", '"1, 1", "1, 1"', "energy")}
        {_table("fall_power", '"2, 2", "2, 2"', "energy")} }}
    }}
  }}
  cell (DFFR) {{
    area : 9; cell_leakage_power : 0.01;
    ff (IQ, IQN) {{ clocked_on : "CK"; next_state : "D"; clear : "!RN"; }}
    pin (CK) {{ direction : input; clock : true; capacitance : 1; }}
    pin (D) {{ direction : input; capacitance : 1; }}
    pin (RN) {{ direction : input; capacitance : 1; }}
    pin (Q) {{ direction : output; function : "IQ"; }}
  }}
  cell (LATCH) {{ area : 5; latch (IQ, IQN) {{ enable : "G"; data_in : "D"; }}
    pin (G) {{ direction : input; }} pin (D) {{ direction : input; }}
    pin (Q) {{ direction : output; function : "IQ"; }}
  }}
  cell (HUGE_INV) {{ area : 1; dont_use : true;
    pin (A) {{ direction : input; }} pin (Y) {{ direction : output; function : "!A"; }}
  }}
}}
"""


def tiny(tmp_path) -> Library:
    path = tmp_path / "tiny.lib"
    path.write_text(TINY)
    return load([path])


def netlist(inputs: str, outputs: str, *cells: str) -> Netlist:
    """A netlist of one-bit ports from lines such as "NAND2 A=a B=b Y=n1"."""
    numbers = {"0": CONST0, "1": CONST1}
    instances = []
    for index, line in enumerate(cells):
        kind, *pins = line.split()
        pairs = (pin.split("=") for pin in pins)
        nets = {pin: numbers.setdefault(net, len(numbers)) for pin, net in pairs}
        instances.append(Instance(f"u{index}", kind, nets))
    ports = {}
    for direction, names in (("input", inputs), ("output", outputs)):
        for name in names.split():
            ports[name] = Port(direction, (numbers.setdefault(name, len(numbers)),))
    return Netlist("hand", ports, tuple(instances), tuple(numbers))
