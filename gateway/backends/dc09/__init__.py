"""SIA DC-09 (ANSI/SIA DC-09, Internet Protocol Event Reporting): to the receivers of alarm-receiving centres."""
