"""The door to Orthanc.

door            the verbs
connections     the Secret that says where it is
session         HTTP, fenced
json_entries    large answers, in little memory
answers         what comes back, typed
errors          what can go wrong
"""
